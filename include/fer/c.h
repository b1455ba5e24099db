/* fer from C: what faces express, in a picture file or in pixels.
 *
 *   fer_model* model = NULL;
 *   if (fer_load("best.safetensors", "cpu", &model) != FER_OK) {
 *     fprintf(stderr, "%s\n", fer_last_error());
 *     return 1;
 *   }
 *   float p[8];
 *   if (fer_predict_file(model, "face.jpg", p, 8) == FER_OK)
 *     printf("%s: %.2f\n", fer_class_name(model, 0), p[0]);
 *   fer_free(model);
 *
 * All strings are UTF-8. A pointer that a function returns belongs to the model or the faces passed in, and
 * is valid as long as they are. Several threads may use one model, but their calls run one at a time;
 * different models run in parallel. */
#ifndef FER_C_H
#define FER_C_H

#include <stddef.h>

#if defined(__GNUC__)
#define FER_API __attribute__((visibility("default")))
#else
#define FER_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fer_status {
  FER_OK = 0,
  FER_ERROR_ARGUMENT = 1, /* a null pointer, a number out of range, an unknown name */
  FER_ERROR_FILE = 2,     /* a file that cannot be read */
  FER_ERROR_FORMAT = 3,   /* a file that is damaged or of the wrong kind */
  FER_ERROR_DEVICE = 4,   /* a device, or a face detector, that this build or machine lacks */
  FER_ERROR_MEMORY = 5,   /* out of memory */
  FER_ERROR_OTHER = 6
} fer_status;

/* A trained network with its class names. */
typedef struct fer_model fer_model;
/* The faces found in a picture, from left to right. */
typedef struct fer_faces fer_faces;

/* 8-bit pixels, top to bottom and left to right: grey (1 channel) or red, green, blue (3). */
typedef struct fer_pixels {
  const unsigned char* data;
  int width, height, channels;
  size_t row_bytes; /* from one row to the next; 0: rows are contiguous */
} fer_pixels;

typedef struct fer_face {
  int x, y, width, height;    /* the box of the face, in pixels of the picture */
  int expression;             /* the most probable class */
  const float* probabilities; /* fer_class_count() of them; they sum to 1 */
  const float* landmarks; /* 68 points x, y as fractions of the picture's width and height; NULL: unknown */
} fer_face;

/* "0.1.0" */
FER_API const char* fer_version(void);

/* The error message of the last failed call in this thread; empty if none has failed. Valid until the next
 * failure. */
FER_API const char* fer_last_error(void);

/* 1 if "cpu", "simt" or "cuda" can compute here, else 0; fer_last_error() then says why not. */
FER_API int fer_device_available(const char* device);

/* Loads a weight file, or the best weights of a run folder, onto a device (NULL: "cpu"). If `weights` is
 * NULL, it loads the file named by the environment variable FER_WEIGHTS, or the weights installed with fer.
 * */
FER_API fer_status fer_load(const char* weights, const char* device, fer_model** model);
FER_API void fer_free(fer_model* model);

/* Classes are numbered from 0. The name is NULL if the number is out of range. */
FER_API int fer_class_count(const fer_model* model);
FER_API const char* fer_class_name(const fer_model* model, int number);

/* For a picture that one face fills. Writes one probability per class, in class order. `room` is the capacity
 * of `probabilities`, at least fer_class_count(). Nothing is written on failure. */
FER_API fer_status fer_predict_pixels(fer_model* model, const fer_pixels* pixels, float* probabilities,
                                      int room);
FER_API fer_status fer_predict_file(fer_model* model, const char* path, float* probabilities, int room);

/* Finds all faces of a photograph; there may be none. A square picture of at most 256 pixels a side counts as
 * one face. FER_ERROR_DEVICE if this build has no face detector. */
FER_API fer_status fer_find_faces_pixels(fer_model* model, const fer_pixels* pixels, fer_faces** faces);
FER_API fer_status fer_find_faces_file(fer_model* model, const char* path, fer_faces** faces);
FER_API int fer_face_count(const fer_faces* faces);
/* NULL if the number is out of range. */
FER_API const fer_face* fer_face_at(const fer_faces* faces, int number);
FER_API void fer_faces_free(fer_faces* faces);

#ifdef __cplusplus
}
#endif
#endif
