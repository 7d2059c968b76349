"""The warm worker: one process that keeps models loaded and answers over a Unix socket.

client      Remote, a session that asks the worker
connection  a worker found, started, or replaced; neither imports torch, transformers, pydantic or rich
server      the worker process
protocol    frames, messages and limits, for both
address     which worker is ours: its folder, socket, lock and log, and who is at the other end
"""
