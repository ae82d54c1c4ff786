"""One file per job, named as the job is."""
