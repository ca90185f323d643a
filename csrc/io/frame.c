#include "base/sys.h"
void dn_frame_free(dn_frame *frame) {
    dn_free(frame->owner);
    dn_free(frame->warnings);
    *frame = (dn_frame){0};
}
