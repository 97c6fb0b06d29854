"""How a model comes to be: prepare, train, evaluate, validate, package.

Run it: `python -m switchyard_demo_model.pipeline`.
"""

VERBS = ("prepare", "train", "evaluate", "validate", "package")
