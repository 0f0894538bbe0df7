"""A small simulated world: a portal in memory, agents, a CA with moods, and an operator.

The portal of the model keeps its rows in lists and decides with the pure functions of
`renewal/rules` alone. The same stories are played against the real endpoint, so that the services
around the rules are compared with what the rules say.
"""
