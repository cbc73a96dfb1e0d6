"""The demonstration: receiver, channel and transmitter as three processes, on real images, with a report.

config      what to demonstrate
processes   commands as processes; `link` has the three of a run
measure     the transmitter's log joined with the receiver's results
run         the whole demonstration, run by run
report      report.json; `page` makes report.html
command     `semlink demo`
"""
