"""Mailtide: compose a campaign, choose now or a time, and every recipient gets exactly their message.

The map
    domain/    rules; imports the standard library only; facts, `now` included, come in as arguments
    content/   templates and MIME: what a message says, as bytes
    commands/  one function = one use case = one transaction (rows + jobs + idempotency record)
    reads/     one function = one SELECT -> what a page needs
    api/       parse -> authorise -> command | read -> JSON
    auth/      sign-in, sessions, API keys
    web.py     create_app
    jobs.py    the names of the queue's tasks, and the one way to defer them
`app` never imports `worker`; `worker` never imports `app.api`, `app.auth` or `app.web`.

The words (one word, one meaning)
    account    a tenant                     contact    a person we may write to
    campaign   one content, one audience    audience   the contacts resolved at launch
    message    one recipient's copy: the ledger row
    batch      a slice of a campaign's messages that one job sends
    attempt    one SMTP conversation for a message; its mark is committed before the body is sent
    reply      what the server said         outcome    what we decided
    relay      an SMTP server we hand mail to            sender    a From identity
    limit      N messages per window        permit     leave to send one message under a limit
    job        a queue row                  task       code that runs a job
"""
