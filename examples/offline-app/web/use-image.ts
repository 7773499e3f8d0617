import { useEffect, useState } from 'react'
import type { Bytes } from '../jobs/plates.ts'

/**
 * The address of an image that is read from the database: undefined until it is read, null when it is not there.
 * `read` has to be the same function as long as it reads the same.
 */
export function useImage(read: () => Promise<Bytes | null>): string | null | undefined {
  const [url, setUrl] = useState<string | null>()
  useEffect(() => {
    let isOver = false
    let made: string | null = null
    const show = (bytes: Bytes | null) => {
      if (isOver) return
      made = bytes === null ? null : URL.createObjectURL(new Blob([bytes]))
      setUrl(made)
    }
    read().then(show, () => show(null))
    return () => {
      isOver = true
      if (made !== null) URL.revokeObjectURL(made)
    }
  }, [read])
  return url
}
