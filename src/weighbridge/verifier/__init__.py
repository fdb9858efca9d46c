"""The stranger's program, `weighbridge-verify`: checks what left the building with nothing but the files and a public key.

It needs no database and no configuration, and loads none of the code that judges or writes; an import contract and a test
prove it. What it says is in words: what holds, what does not and from which record on, and what it was not given to check.
"""
