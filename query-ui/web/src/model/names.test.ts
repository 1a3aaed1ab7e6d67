import { expect, it } from 'vitest';
import { shortener } from './names';

it('drops what nearly all names share', () => {
  const s = shortener([
    'ts-order-service',
    'ts-seat-service',
    'ts-price-service',
    'ts-route-service',
    'redis',
  ]);
  expect([s('ts-order-service'), s('redis')]).toEqual(['order', 'redis']);
});
it('leaves few or different names alone', () => {
  expect(shortener(['a-x', 'a-y'])('a-x')).toBe('a-x');
  expect(shortener(['storefront', 'order', 'product', 'payment'])('order')).toBe('order');
});
