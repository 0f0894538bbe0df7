"""What breaks, broken for real: broker, CA, worker, database; and many callers at once.

Each test goes through the front door of a running portal and looks at what it left behind.
"""
