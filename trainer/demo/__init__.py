"""The demonstration: three real processes, real images, and a report of what came through.

processes   receiver, channel and transmitter, started as a user would
measure     joins what was sent with what was retrieved
run         the whole demonstration, cell by cell
page        one HTML file for the eye
"""
