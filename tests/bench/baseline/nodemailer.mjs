// Nodemailer's pool alone, without queue and database: the most that the replaced design can reach over a slow wire.
//
//   node nodemailer.mjs COUNT CONNECTIONS      SMTP_PORT
//
// Prints one line of JSON.
import nodemailer from 'nodemailer'

const [count, connections] = process.argv.slice(2).map(Number)
const body = `<html>${'x'.repeat(2900)}</html>`
const transport = nodemailer.createTransport({
  host: '127.0.0.1', port: Number(process.env.SMTP_PORT),
  pool: true, maxConnections: connections, maxMessages: 1e9, ignoreTLS: true,
})

async function sendMany(total) {
  let next = 0
  const keepOneUnderWay = async () => {
    while (next < total) {
      const number = next++
      await transport.sendMail({
        from: 'news@example.test', to: `user${number}@sink.test`, subject: 'Hi', html: body,
      })
    }
  }
  await Promise.all(Array.from({ length: connections * 2 }, keepOneUnderWay))
}

const startedAt = performance.now() // before the connections are opened: so does ours
await sendMany(count)
const seconds = (performance.now() - startedAt) / 1000
console.log(JSON.stringify({
  n: count, connections, per_s: Number((count / seconds).toFixed(1)), seconds: Number(seconds.toFixed(2)),
}))
process.exit(0)
