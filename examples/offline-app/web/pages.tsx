import type { useRuns } from '@coji/durably-react'

/** Turns the pages of a list, where it has several. */
export function Pages({ list }: { readonly list: ReturnType<typeof useRuns> }) {
  const { page, hasMore, nextPage, prevPage } = list
  if (page === 0 && !hasMore) return null
  return (
    <div className="pages">
      <button type="button" disabled={page === 0} onClick={prevPage}>
        Newer
      </button>
      <span className="muted">Page {page + 1}</span>
      <button type="button" disabled={!hasMore} onClick={nextPage}>
        Older
      </button>
    </div>
  )
}
