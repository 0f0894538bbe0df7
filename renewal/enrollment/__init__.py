"""From a CSR to a deliverable certificate: the door, the intent, the work, the wait.

Order of reading: `door` (may this CSR be enrolled?), `intents` (the row that is committed before
any CA call), `work` (claim, call, verify, write), `waiting` (how a Register learns of it).
"""
