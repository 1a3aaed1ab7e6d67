import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiError } from './api/client';
import { loadMessages } from './i18n';
import { router } from './router';
import './styles/index.css';
import { listen } from './ui/keys';
import { applyPrefs } from './ui/prefs';

const RETRIES = 1;

applyPrefs();
listen();
const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5000,
      refetchOnWindowFocus: false,
      networkMode: 'always',
      retry: (n, e) => n < RETRIES && !(e instanceof ApiError && e.final),
    },
  },
});
void loadMessages().then(() =>
  createRoot(document.getElementById('app')!).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  ),
);
