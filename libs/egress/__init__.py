"""
Egress: the only way out. Every request that Fliq sends to a target or a webhook passes through this room.

Reads:   FLIQ_EGRESS_ALLOW and FLIQ_EGRESS_DENY (as text, from the composition root)
Writes:  one HTTP/1.1 request on one new connection per attempt; nothing else
Holds:   no cookies, no connection pool, no DNS cache, no secret of an account beyond the decoded signing keys
Never:   connects to an address that the policy has not checked; follows a redirect; sends a request twice;
         uses a proxy, a netrc file or a search domain of its environment; keeps a response body

    url_rules, address_rules   which URLs and addresses may be called (pure)
    caller_headers             which of a job's own headers are sent (pure)
    request                    the bytes of a request (pure)
    signing                    the headers by which a target verifies that a call comes from Fliq (pure)
    fair_queue                 which account's call or look-up may start next (pure)
    outcome                    the result of a call, in stable error texts (pure)
    resolver                   a name to its addresses
    odd_heads                  the head of an answer in a form that the parser takes (pure)
    exchange                   one request and its answer on one connection
    client                     puts these together: one attempt
"""
