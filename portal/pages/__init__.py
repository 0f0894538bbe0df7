"""The pages: what operators see in a browser.

Views parse, check a permission, call one service and render; no rule is in a view or a template.
"""
