import react from '@vitejs/plugin-react'
import sqlocal from 'sqlocal/vite'
import { defineConfig } from 'vite'
import { offline } from './offline.ts'

export default defineConfig({
  root: 'web',
  plugins: [react(), sqlocal(), offline()],
  build: { outDir: '../dist', emptyOutDir: true, chunkSizeWarningLimit: 1000 },
  preview: {
    port: 8788,
    strictPort: true,
    // Without these there is no OPFS. The plugin sets them for the development server only.
    headers: {
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    },
  },
})
