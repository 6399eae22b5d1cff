"""Many tomograms on a SLURM cluster, without a service: an array of jobs, and a job for the report.

A submission is a folder among the results, with the list of tomograms, the scripts and the logs. Its tasks run the same
loop as a batch, each in a part of the work folder of its own, so they can run at once on several machines.
"""
