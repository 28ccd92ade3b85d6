import { defineConfig } from 'vite';

// Addresses are relative, so that the page works under any stage of the API. Its files lie flat
// in insights/, beside the page itself: the output function serves GET /insights/{file}.
export default defineConfig({
  base: './',
  build: {
    outDir: 'dist',
    assetsDir: 'insights',
    // Every file is a file: the policy allows images as data, but scripts and styles only from here.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: ['chrome120', 'firefox121', 'safari17'],
    chunkSizeWarningLimit: 250,
    rolldownOptions: {
      output: {
        entryFileNames: 'insights/[name]-[hash].js',
        chunkFileNames: 'insights/[name]-[hash].js',
        assetFileNames: 'insights/[name]-[hash][extname]',
      },
    },
  },
});
