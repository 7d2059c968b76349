"""The warm worker: one process that keeps models loaded and answers over a Unix socket.

client      who answers: the worker, or this process
remote      the worker's sessions, as the client has them
connection  a worker found, started, or replaced; none of the three imports torch, transformers, pydantic or rich
server      the worker process; sessions, resident: what it has open and loaded; memory: what it holds
protocol    frames, messages and limits, for both
address     which worker is ours: its folder, socket, lock and log, and who is at the other end
vitals      whether a process works, hangs, or is gone
control     start, status, stop
"""
