"""The demonstration: receiver, channel and transmitter as processes, on real images, with a report.

config      what to demonstrate
processes   commands as processes; `link` has the receiver of a dataset, and the other two of each run
measure     the transmitter's log joined with the receiver's results
run         the whole demonstration, run by run
report      report.json
gallery     the images that are shown, and `stills`, what they take as pictures
page        report.html, with `charts`; `picture` makes photographs.webp
command     `semlink demo`
"""
