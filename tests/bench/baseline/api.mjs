// The replaced API: POST /schedule stores the row, then adds a delayed BullMQ job; two systems without a shared transaction.
//
//   node api.mjs PORT      DATABASE_URL, REDIS_URL
import { Queue } from 'bullmq'
import express from 'express'
import IORedis from 'ioredis'
import pg from 'pg'

const redis = new IORedis(process.env.REDIS_URL, { maxRetriesPerRequest: null })
const queue = new Queue('email', { connection: redis })
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })
await pool.query(`
  create table if not exists baseline_emails (
    id bigserial primary key, recipient text, subject text, body text, status text,
    idempotency_key text unique, scheduled_at timestamptz, sent_at timestamptz
  )`)

const app = express()
app.use(express.json())
app.post('/schedule', async (req, res) => {
  const { recipient, subject, body, scheduledAt, idempotencyKey } = req.body
  const { rows: [row] } = await pool.query(
    `insert into baseline_emails (recipient, subject, body, status, idempotency_key, scheduled_at)
     values ($1, $2, $3, 'PENDING', $4, $5) on conflict (idempotency_key) do nothing returning id`,
    [recipient, subject, body, idempotencyKey ?? null, scheduledAt ?? new Date()])
  if (row) await queue.add('send', { id: row.id }, { delay: 3_600_000, attempts: 3 })
  res.status(201).json({ id: row?.id })
})
app.listen(Number(process.argv[2]), '127.0.0.1')
