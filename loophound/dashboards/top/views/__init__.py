"""The dashboard's pictures: functions of state, size and time that return lines of rich Text."""
