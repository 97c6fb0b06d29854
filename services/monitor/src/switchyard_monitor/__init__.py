"""The monitor: joins predictions with decisions and outcomes, keeps exact sums, and answers with evidence.

`domain` decides and computes without I/O; `ports` says what it needs of a broker and a store; `bus` is Kafka;
`adapters` is the database; `reader` moves events from one to the other in transactions; `api` answers questions.
"""
