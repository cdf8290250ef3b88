wrk.method = "POST"
wrk.body = string.rep("z", 16384)
