-- Who brought an image in decides who may not approve it: submissions are never rewritten.

CREATE TRIGGER submission_keeps_rows BEFORE DELETE ON submission
BEGIN
    SELECT RAISE(ABORT, 'submissions are kept');
END;

CREATE TRIGGER submission_keeps_columns BEFORE UPDATE ON submission
BEGIN
    SELECT RAISE(ABORT, 'submissions are not rewritten');
END;
