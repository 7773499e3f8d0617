import { setTimeout as sleep } from 'node:timers/promises'

const answer = (question: string): string =>
  `You asked: “${question}” I am a small model, and I know one thing well. A job is an ordinary function. ` +
  `Each of its steps is kept in your database when it is done, so whatever crashes, the run goes on where it was. ` +
  `These words are written by a step, one by one, and you read them as they are written. If the step fails in the ` +
  `middle, as it just did, what it wrote is taken back and it begins anew: nobody keeps half an answer.`

/** A language model that is a script: it says the same each time, word by word, and the first time it breaks off. */
export async function* generate(
  question: string,
  { pace, attempt, signal }: { pace: number; attempt: number; signal: AbortSignal },
): AsyncGenerator<string> {
  for (const [i, word] of answer(question).split(' ').entries()) {
    await sleep(pace, undefined, { signal })
    if (attempt === 1 && i === 24) throw new Error('The model hung up')
    yield i === 0 ? word : ` ${word}`
  }
}
