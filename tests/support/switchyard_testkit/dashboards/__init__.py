"""The dashboards that the chart carries, written here so that a panel is a question, its words and its unit.

`python -m switchyard_testkit.chart write` makes Grafana's JSON of them. In a query OURS stands for the installation
that is looked at, and THIS for the deployment; what each of the monitor's replicas tells is taken once (max).
"""
