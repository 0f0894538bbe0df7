"""`make bench`: what a call costs the server, beside a bare view on the same server, in one run."""
