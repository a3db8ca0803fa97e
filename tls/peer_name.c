/* Owns nothing: it reads names out of certificates. */
#include "tls/peer_name.h"

#include <openssl/x509v3.h>
#include <string.h>

/* Copies the name if it is one that can stand in a log and in a file of users. */
static char *lawful_name(const ASN1_STRING *string)
{
    const unsigned char *data = ASN1_STRING_get0_data(string);
    int len = ASN1_STRING_length(string);
    if (len <= 0 || len > PEER_NAME_MAX_BYTES)
        return NULL;
    for (int i = 0; i < len; i++) {
        if (data[i] <= ' ' || data[i] >= 0x7f)
            return NULL;
    }
    return strndup((const char *)data, (size_t)len);
}

static char *alternative_name(const X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    char *found = NULL;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && found == NULL; i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI)
            found = lawful_name(value);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static char *common_name(const X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    return index < 0 ? NULL : lawful_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
}

char *peer_name_of(const X509 *certificate)
{
    char *name = alternative_name(certificate);
    return name != NULL ? name : common_name(certificate);
}
