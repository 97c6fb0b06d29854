"""The simulation: whole rollouts on real flights, judged by the product's own verdict functions, thousands of times.

`make simulate` says how often a verdict is wrong, beside the budget that `analysis.risk` gives, and fails where a
promise is broken. Rows that stand beside ours show what a usual way of judging does with the same flights; they must be
over the budget, else the simulation could not have found a fault.
"""
