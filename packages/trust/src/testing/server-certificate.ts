import { randomBytes } from 'node:crypto';
import { der, derBits, derInteger, derOctets, derOid, derSequence } from '../keys/der.ts';
import { generateKeypair } from '../keys/keypair.ts';
import { writePem } from '../keys/pem.ts';

/** Makes a self-signed TLS certificate for 127.0.0.1 and localhost that is its own CA, valid for a day. */
export async function createServerCertificate(): Promise<{ readonly cert: string; readonly key: string }> {
  const keypair = generateKeypair();
  const algorithm = derSequence(derOid('1.2.840.10045.4.3.2'));
  const name = derSequence(
    der(0x31, derSequence(derOid('2.5.4.3'), der(0x0c, Buffer.from('imagevet test')))),
  );
  const time = (offsetMs: number): Buffer => {
    const text = new Date(Date.now() + offsetMs).toISOString().slice(2, 19).replace(/[-T:]/g, '');
    return der(0x17, Buffer.from(`${text}Z`));
  };
  const names = derSequence(der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])));
  const critical = der(0x01, Buffer.from([0xff]));
  const certificate = derSequence(
    der(0xa0, derInteger(2)),
    derInteger(randomBytes(15)),
    algorithm,
    name,
    derSequence(time(-3_600_000), time(86_400_000)),
    name,
    Buffer.from(keypair.publicKey.keyval.public, 'base64'),
    der(
      0xa3,
      derSequence(
        derSequence(derOid('2.5.29.19'), critical, derOctets(derSequence(critical))),
        derSequence(derOid('2.5.29.17'), derOctets(names)),
      ),
    ),
  );
  const signature = Buffer.from(await keypair.sign(certificate));
  const bits = derBits(
    derSequence(derInteger(signature.subarray(0, 32)), derInteger(signature.subarray(32))),
  );
  return {
    cert: writePem('CERTIFICATE', derSequence(certificate, algorithm, bits)),
    key: keypair.exportPrivateKey().export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}
