const first = ['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Donald', 'Radia', 'Leslie']
const last = ['Lovelace', 'Hopper', 'Turing', 'Dijkstra', 'Liskov', 'Knuth', 'Perlman', 'Lamport']

const line = (i: number): string => {
  const name = `${first[i % 8]} ${last[Math.floor(i / 8) % 8]}`
  return `${name},${name.toLowerCase().replace(' ', '.')}.${i}@example.com`
}

export const sample = (rows = 500): string =>
  ['name,email', ...Array.from({ length: rows }, (_, i) => line(i))].join('\n')

export const brokenSample = (): string => sample(150).replace('.70@example.com', '.70 at example')
