# What gatepost uses of aiospamc 1.2, which ships no py.typed.
