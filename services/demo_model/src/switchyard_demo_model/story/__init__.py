"""The demo's story: a model deployed, a better one promoted by what really happened, a broken one taken back by itself,
and a summer that the good one never learnt from, of which alarms tell.

Run it: `python -m switchyard_demo_model.story --slot demo`, on a cluster where Switchyard and the models' images are.
"""
