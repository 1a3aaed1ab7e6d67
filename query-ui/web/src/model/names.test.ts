import { expect, it } from 'vitest';
import { beside, shortener } from './names';

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

it.each([
  ['', 'GET /cart', ''],
  ['GET /cart 200', 'GET /cart', '200'],
  ['postgresql SELECT 1', 'SELECT', 'postgresql SELECT 1'],
  ['200', 'GET 200', ''],
])('of the tag %j beside %j stands %j', (tag, op, expected) => expect(beside(tag, op)).toBe(expected));
