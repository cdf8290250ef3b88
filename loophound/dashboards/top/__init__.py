"""`loophound top`: the terminal dashboard.

`board` takes the feed's messages and keeps the state of one server; `interface` takes keys;
`views` draws both for a size. These have no clock, file or terminal. `link` reads the feed,
`screen` owns the terminal, `app` runs them.
"""
