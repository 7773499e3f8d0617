import { defineJob } from '@coji/durably'
import { z } from 'zod'
import { generate } from './language-model.ts'

/** Streams an answer word by word. An attempt that fails is taken back; a worker that dies is taken over. */
export const answerQuestion = defineJob({
  name: 'answer-question',
  input: z.object({ question: z.string().min(1), pace: z.number().min(0).default(50) }),
  output: z.string(),
  run: async (step, { question, pace }) =>
    step.run(
      'answer',
      async (signal, { attempt, stream }) => {
        const writer = stream<string>('words').getWriter()
        let text = ''
        for await (const word of generate(question, { pace, attempt, signal })) {
          text += word
          await writer.write(word)
        }
        await writer.close()
        return text
      },
      { retry: { attempts: 3, delay: '1s' } },
    ),
})
