// The replaced sender: one PostgreSQL row and one BullMQ job for each e-mail. The worker reads the row, counts it in a
// fixed window in Redis, sends it through a pooled Nodemailer transport and marks the row.
//
//   node send.mjs COUNT CONCURRENCY      DATABASE_URL, REDIS_URL (its database is emptied), SMTP_PORT
//
// Prints one line of JSON.
import { Queue, Worker } from 'bullmq'
import IORedis from 'ioredis'
import nodemailer from 'nodemailer'
import pg from 'pg'

const WINDOW_MS = 3_600_000
const [count, concurrency] = process.argv.slice(2).map(Number)
const body = `<html>${'x'.repeat(2900)}</html>`

const redis = new IORedis(process.env.REDIS_URL, { maxRetriesPerRequest: null })
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: Math.max(10, concurrency) })
const queue = new Queue('email', { connection: redis })
const transport = nodemailer.createTransport({
  host: '127.0.0.1', port: Number(process.env.SMTP_PORT),
  pool: true, maxConnections: concurrency, maxMessages: 1e9, ignoreTLS: true,
})

async function prepare() {
  await redis.flushdb()
  await pool.query(`
    drop table if exists baseline_emails;
    create table baseline_emails (
      id bigserial primary key, recipient text, subject text, body text, status text,
      idempotency_key text unique, scheduled_at timestamptz, sent_at timestamptz
    )`)
}

async function enqueue() {
  await pool.query(
    `insert into baseline_emails (recipient, subject, body, status, idempotency_key, scheduled_at)
     select 'user' || i || '@sink.test', 'Hi', $1, 'PENDING', 'k' || i, now() from generate_series(1, $2::int) i`,
    [body, count])
  for (let at = 0; at < count; at += 1000) {
    const size = Math.min(1000, count - at)
    await queue.addBulk(Array.from({ length: size }, (_, k) => ({
      name: 'send',
      data: { id: at + k + 1 },
      opts: {
        jobId: `e${at + k + 1}`, removeOnComplete: true, attempts: 3,
        backoff: { type: 'exponential', delay: 1000 },
      },
    })))
  }
}

async function send(job) {
  const { rows: [email] } = await pool.query('select * from baseline_emails where id = $1', [job.data.id])
  const window = `rate:${Math.floor(Date.now() / WINDOW_MS)}`
  if (await redis.incr(window) === 1) await redis.expire(window, WINDOW_MS / 1000)
  await transport.sendMail({
    from: 'news@example.test', to: email.recipient, subject: email.subject, html: email.body,
  })
  await pool.query("update baseline_emails set status = 'SENT', sent_at = now() where id = $1", [email.id])
}

await prepare()
let startedAt = performance.now()
await enqueue()
const enqueueS = (performance.now() - startedAt) / 1000

let sent = 0
const cpuBefore = process.cpuUsage()
startedAt = performance.now()
const worker = new Worker('email', async (job) => {
  await send(job)
  if (++sent === count) report()
}, { connection: redis, concurrency })
worker.on('error', (error) => { console.error(error); process.exit(1) })
worker.on('failed', (_job, error) => { console.error(error); process.exit(1) })

function report() {
  const seconds = (performance.now() - startedAt) / 1000
  const cpu = process.cpuUsage(cpuBefore)
  console.log(JSON.stringify({
    n: count, concurrency, per_s: Math.round(count / seconds), seconds: Number(seconds.toFixed(2)),
    enqueue_per_s: Math.round(count / enqueueS), cpu_us: Math.round((cpu.user + cpu.system) / count),
    rss_mb: Math.round(process.memoryUsage().rss / 1e6),
  }))
  process.exit(0)
}
