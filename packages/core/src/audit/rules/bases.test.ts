import { describe, expect, test } from 'vitest';
import { audit, hitsOf } from '../__fixtures__/hits.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('base rules', () => {
  test.each([
    ['FROM debian:13.1', ['VET001:1']],
    [`FROM debian:13.1@${DIGEST}`, []],
    ['FROM scratch', []],
    ['FROM debian', ['VET002:1']],
    ['FROM debian:latest', ['VET002:1']],
    ['FROM debian:stable-slim', ['VET002:1']],
    ['FROM ghcr.io/a/b:edge', ['VET002:1']],
    ['FROM node:24', ['VET002:1']],
    ['FROM node:24-slim', ['VET002:1']],
    ['FROM debian:13', ['VET001:1']],
    ['FROM php:8.4-apache', ['VET001:1']],
    ['FROM debian:13.2 AS a\nFROM a', ['VET001:1']],
    ['ARG V=13.2\nFROM debian:$V', ['VET003:2']],
    [`ARG V=13.2@${DIGEST}\nFROM debian:\${V}`, []],
    ['ARG V\nFROM $V', ['VET003:2']],
    ['ARG V=latest\nFROM debian:$V', ['VET002:2', 'VET003:2']],
  ])('%j', (text, expected) => {
    expect(hitsOf(text)).toEqual(expected);
  });

  test('VET002 weighs a major version less than latest', () => {
    expect(audit('FROM node').map(({ severity }) => severity)).toEqual(['high']);
    expect(audit('FROM node:24').map(({ severity }) => severity)).toEqual(['medium']);
  });

  test.each([
    ['# syntax=docker/dockerfile:1\nFROM scratch', ['VET004:1']],
    [`# syntax=docker/dockerfile:1@${DIGEST}\nFROM scratch`, []],
    ['# syntax=attacker/frontend\nFROM scratch', ['VET007:1']],
    [`# syntax=attacker/frontend@${DIGEST}\nFROM scratch`, ['VET007:1']],
    ['# syntax=docker.io.example/docker/dockerfile:1\nFROM scratch', ['VET007:1']],
    ['FROM scratch\nCOPY --from=alpine:3.23.1 /a /b', ['VET006:2']],
    [`FROM scratch\nCOPY --from=alpine:3.23.1@${DIGEST} /a /b`, []],
    ['FROM scratch AS a\nFROM scratch\nCOPY --from=a /a /b\nCOPY --from=0 /a /b', []],
    ['FROM scratch\nRUN --mount=type=bind,from=golang:1.25,target=/x true', ['VET006:2']],
  ])('%j', (text, expected) => {
    expect(hitsOf(text)).toEqual(expected);
  });
});
