"""The shipper: what Envoy recorded on the volume becomes events in Kafka, and the account of it closes.

`line` reads what Envoy wrote, `spool` keeps the place in its files, `bus` speaks to Kafka, `account` adds up,
`shipper` is the loop that holds them together, `web` answers those who ask.
"""
