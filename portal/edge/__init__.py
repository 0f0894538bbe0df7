"""The portal's edge: what a request is before any view sees it.

Owns who the peer is (an authenticated proxy or not), the request's id, which faces this process
serves and which client certificate was presented. Decides nothing about certificates: the chain,
the dates and the record behind one are judged by the agent endpoint.
"""
