"""
Egress: the only way out. Every request that Fliq sends to a target or a webhook passes through this room.

Reads:   FLIQ_EGRESS_ALLOW and FLIQ_EGRESS_DENY (as text, from the composition root)
Writes:  one HTTP/1.1 request per attempt, and a second one only if an idle connection ended before a byte of the answer came
Holds:   idle connections for a second, each for the account that opened it; no cookies, no DNS cache, no secret of an account
         beyond the decoded signing keys
Never:   sends to an address that the policy has not checked for this call; uses one account's connection for another; follows a
         redirect; uses a proxy, a netrc file or a search domain of its environment; keeps a response body

    url_rules, address_rules   which URLs and addresses may be called (pure)
    caller_headers             which of a job's own headers are sent (pure)
    request                    the bytes of a request (pure)
    signing                    the headers by which a target verifies that a call comes from Fliq (pure)
    fair_queue                 which account's call or look-up may start next (pure)
    outcome                    the result of a call, in stable error texts (pure)
    resolver                   a name to its addresses
    tls                        what is verified, and which TLS sessions are resumed
    http1                      one request and its answer on a connection, new or used before
    client                     puts these together: one attempt
"""
