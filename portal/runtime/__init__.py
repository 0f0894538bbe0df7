"""The processes of one installation: how each is configured, started, watched and stopped.

Owns gunicorn's configurations, the embedded broker, the supervisor and the order of set-up.
Nothing here knows what a request, an orchestrator or a certificate of one means.
"""
