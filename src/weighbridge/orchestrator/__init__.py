"""Plans over time: what carries them out, step by step, through the executor; and the engines that drive it.

``interface`` are the ports, ``advancing`` does one action at a time, ``engines`` say when.
"""
