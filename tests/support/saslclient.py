"""
The client's side of SASL by Cyrus libsasl2, which libmemcached speaks through: one exchange, on standard input and output.

Arguments: mechanism, user; the environment's PASSWORD is the password, in hexadecimal. Prints each message that it sends
as a line of hexadecimal, and reads the server's likewise. When it is satisfied with the server, it prints "done".
"""

import ctypes
import os
import sys

OK, CONTINUE = 0, 1
LIST_END, USER, AUTHNAME, PASS = 0, 0x4001, 0x4002, 0x4004

sasl = ctypes.CDLL("libsasl2.so.2")
GET_SIMPLE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_char_p),
                              ctypes.POINTER(ctypes.c_uint))
GET_SECRET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int,
                              ctypes.POINTER(ctypes.c_void_p))


class Callback(ctypes.Structure):
    _fields_ = [("id", ctypes.c_ulong), ("procedure", ctypes.c_void_p), ("context", ctypes.c_void_p)]


mechanism, user = (argument.encode() for argument in sys.argv[1:])
password = bytes.fromhex(os.environ["PASSWORD"])


class Secret(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ulong), ("data", ctypes.c_ubyte * (len(password) + 1))]


secret = Secret(len(password), (ctypes.c_ubyte * (len(password) + 1))(*password))


@GET_SIMPLE
def get_user(_context, _id, result, length):
    result[0] = user
    if length:
        length[0] = len(user)
    return OK


@GET_SECRET
def get_password(_connection, _context, _id, result):
    result[0] = ctypes.addressof(secret)
    return OK


def text(status):
    sasl.sasl_errstring.restype = ctypes.c_char_p
    return sasl.sasl_errstring(status, None, None).decode()


def main():
    callbacks = (Callback * 4)(Callback(USER, ctypes.cast(get_user, ctypes.c_void_p).value, None),
                               Callback(AUTHNAME, ctypes.cast(get_user, ctypes.c_void_p).value, None),
                               Callback(PASS, ctypes.cast(get_password, ctypes.c_void_p).value, None),
                               Callback(LIST_END, None, None))
    connection, out = ctypes.c_void_p(), ctypes.c_char_p()
    length, chosen = ctypes.c_uint(), ctypes.c_char_p()
    assert sasl.sasl_client_init(callbacks) == OK
    assert sasl.sasl_client_new(b"memcached", b"localhost", None, None, None, 1, ctypes.byref(connection)) == OK
    status = sasl.sasl_client_start(connection, mechanism, None, ctypes.byref(out), ctypes.byref(length),
                                    ctypes.byref(chosen))
    while status in (OK, CONTINUE) and length.value > 0:
        print(ctypes.string_at(out, length.value).hex(), flush=True)
        server = bytes.fromhex(sys.stdin.readline())
        length.value = 0
        status = sasl.sasl_client_step(connection, server, len(server), None, ctypes.byref(out), ctypes.byref(length))
    print("done" if status == OK else text(status), flush=True)


main()
