import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

export default defineConfig({
  root: 'web',
  plugins: [react()],
  build: { outDir: '../dist', emptyOutDir: true },
  // `npm start` beside it answers these.
  server: { proxy: { '/api': 'http://localhost:8787' } },
})
