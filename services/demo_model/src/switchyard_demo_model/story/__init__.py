"""The demo's story: a model deployed, a better one promoted by what really happened, a broken one taken back by itself.

Run it: `python -m switchyard_demo_model.story --slot demo`, on a cluster where Switchyard and the models' images are.
"""
