// In place of CUDA's own where launches are emulated: the name of a stream, and no more.
#pragma once

typedef struct CUstream_st* cudaStream_t;
