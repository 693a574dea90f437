"""
Egress: the only way out. Everything Fliq sends to a target or a webhook passes through this room.

Reads:   FLIQ_EGRESS_ALLOW and FLIQ_EGRESS_DENY (as text, from whoever wires the process)
Writes:  one HTTP/1.1 request on one fresh connection per attempt; nothing else
Holds:   no cookies, no connection pool, no DNS cache, no secret of an account beyond the decoded signing keys
Never:   connects to an address that the policy has not judged; follows a redirect; sends a request twice;
         reads a proxy, a netrc file or a search domain from its surroundings; keeps a response body

`policy` and `addresses` say where a call may go (pure), `callers` what a caller's own headers may say (pure), `request` makes the
bytes (pure), `resolver` turns a name into addresses, `exchange` is one request and its answer on one connection, `client` ties them
together, `turns` says who may call next (pure), `outcome` is what became of a call, `signing` proves to the target that the call is
ours (pure).
"""
